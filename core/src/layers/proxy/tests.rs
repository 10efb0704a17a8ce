use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// A header of version 2.
fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &len, body].concat()
}

fn header(octets: &[u8]) -> Header<'_> {
    match parse(octets) {
        Ok(Parsed::Header(header)) => header,
        other => panic!("{other:?}"),
    }
}

const V4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb];

#[test]
fn lines_of_version_1() {
    let of = |line: &str| header(line.as_bytes()).source.map(|s| std::string::ToString::to_string(&s));
    assert_eq!(of("PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n").as_deref(), Some("1.2.3.4:9"));
    assert_eq!(of("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n").as_deref(), Some("[2001:db8::1]:0"));
    assert_eq!(of("PROXY UNKNOWN\r\n"), None);
    assert_eq!(of("PROXY UNKNOWN ffff::1 ::1 65535 65535\r\n"), None);
    // The longest that section 2.1 names.
    let longest =
        std::format!("PROXY UNKNOWN {0} {0} 65535 65535\r\n", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_eq!((longest.len(), header(longest.as_bytes()).len), (107, 107));
}

#[test]
fn lines_that_are_none() {
    for line in [
        "PROXY TCP4 1.2.3.4 5.6.7.8 9\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 9 10 11\r\n",
        "PROXY TCP4 1.2.3.4  5.6.7.8 9 10\r\n",
        "PROXY TCP4 01.2.3.4 5.6.7.8 9 10\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 09 10\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +9 10\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 65536 10\r\n",
        "PROXY TCP4 ::1 ::1 9 10\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 9 10\r\n",
        "PROXY UDP4 1.2.3.4 5.6.7.8 9 10\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 9 10\rX",
    ] {
        assert_eq!(parse(line.as_bytes()), Err(Fault::Line), "{line:?}");
    }
    let endless = [LINE, &[b'x'; 200]].concat();
    assert_eq!(parse(&endless[..MAX_LINE - 1]), Ok(Parsed::NeedMore));
    assert_eq!(parse(&endless[..MAX_LINE]), Err(Fault::LineTooLong));
    for other in ["GET / HTTP/1.1\r\n", "PROXX", "\r\n\r\nX", "\x10\x0c\0\x04MQTT"] {
        assert_eq!(parse(other.as_bytes()), Err(Fault::Missing), "{other:?}");
    }
}

#[test]
fn headers_of_version_2() {
    let v4 = binary(0x21, 0x11, &V4);
    assert_eq!(header(&v4).source, Some("192.0.2.7:56324".parse().unwrap()));
    assert_eq!(header(&v4).destination, Some("198.51.100.1:443".parse().unwrap()));
    let mut body = [0; 36];
    (body[15], body[31], body[33], body[35]) = (1, 2, 80, 81);
    let v6 = binary(0x21, 0x21, &body);
    assert_eq!(header(&v6).source, Some("[::1]:80".parse().unwrap()));
    assert_eq!(header(&v6).destination, Some("[::2]:81".parse().unwrap()));
    // A Unix socket has no address that counts here; LOCAL says nothing, whatever it carries.
    assert_eq!(header(&binary(0x21, 0x31, &[1; 216])).source, None);
    assert_eq!(header(&binary(0x20, 0x11, &V4)).source, None);
    assert_eq!(header(&binary(0x20, 0, b"anything")).len, FIXED + 8);
    assert_eq!(header(&binary(0x21, 0, b"")).source, None);
}

#[test]
fn headers_of_version_2_that_are_none() {
    let fault = |octets: &[u8]| parse(octets).unwrap_err();
    assert_eq!(fault(&binary(0x11, 0x11, &V4)), Fault::Version(1));
    assert_eq!(fault(&binary(0x22, 0x11, &V4)), Fault::Command(2));
    assert_eq!(fault(&binary(0x21, 0x13, &V4)), Fault::Family(0x13));
    assert_eq!(fault(&binary(0x21, 0x11, &V4[..11])), Fault::Addresses);
    assert_eq!(fault(&[SIGNATURE, b"\x21\x11\xff\xff"].concat()), Fault::TooLong(65_551));
    // A field whose length, or whose value, is not whole.
    for tail in [&b"\x05"[..], b"\x05\x00", b"\x05\x00\x01", b"\x05\x00\x02x"] {
        assert_eq!(fault(&binary(0x21, 0x11, &[&V4, tail].concat())), Fault::Field, "{tail:?}");
    }
    // What is wrong is said as soon as it is there.
    assert_eq!(parse(&[SIGNATURE, &[0x31]].concat()), Err(Fault::Version(3)));
    assert_eq!(parse(&[SIGNATURE, &[0x21, 0x99]].concat()), Err(Fault::Family(0x99)));
}

#[test]
fn fields_are_listed() {
    let octets = binary(0x21, 0x11, &[&V4[..], b"\x02\x00\x07example\x05\x00\x02id"].concat());
    let fields: Vec<_> = header(&octets).fields().collect();
    assert_eq!(fields, [(2, &b"example"[..]), (5, b"id")]);
}

/// RFC 3720, appendix B.4, and section 2.2.4: the checksum is over all of the header.
#[test]
fn the_checksum_is_checked() {
    assert_eq!(!crc32c(!0, &[0; 32]), 0x8a91_36aa);
    assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    let mut octets = binary(0x21, 0x11, &[&V4[..], b"\x03\x00\x04\0\0\0\0\x05\x00\x02id"].concat());
    assert_eq!(parse(&octets), Err(Fault::Checksum));
    let at = octets.len() - 9;
    let sum = !crc32c(!0, &octets);
    octets[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(header(&octets).source, Some("192.0.2.7:56324".parse().unwrap()));
    for i in 16..octets.len() {
        let mut changed = octets.clone();
        changed[i] ^= 1;
        let outcome = parse(&changed);
        let is_sum_gone = i == at - 3; // its type: another field, and so no checksum
        assert!(is_sum_gone || outcome.is_err(), "octet {i}: {outcome:?}");
    }
}

proptest! {
    /// It is decided by the octets and not by how they come: once it is, more change nothing; and before, a
    /// part is never taken for the whole.
    #[test]
    fn cuts_change_nothing(
        octets in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            proptest::collection::vec(any::<u8>(), 0..60).prop_map(|body| binary(0x21, 0x11, &body)),
            "PROXY (TCP4|TCP6|UNKNOWN) ?[0-9a-f.: ]{0,40}\r\n[a-z]{0,3}".prop_map(String::into_bytes),
        ],
    ) {
        let mut decided = None;
        for n in 0..=octets.len() {
            let now = parse(&octets[..n]);
            if let Ok(Parsed::Header(header)) = now {
                prop_assert!(header.len <= n);
                header.fields().for_each(drop);
            }
            match decided {
                None if now != Ok(Parsed::NeedMore) => decided = Some(now),
                None => {}
                Some(before) => prop_assert_eq!(now, before, "with {} octets", n),
            }
        }
        if octets.len() >= MAX_HEADER {
            prop_assert!(decided.is_some());
        }
    }
}
