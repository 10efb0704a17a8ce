//! Bare frames: four octets of length, most significant first, then the payload. For echo servers.

use super::{Attack, Event, FloodKind, Template, Wire, garbage};

/// No frame is larger.
const FRAME_MAX: usize = 64 << 20;

/// Length-prefixed frames. There are no topics: what is sent comes back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw;

impl Wire for Raw {
    fn opening(self, _out: &mut Vec<u8>) {}

    fn subscribe(self, _id: u64, _topic: &str, _reliable: bool, _out: &mut Vec<u8>) {}

    fn template(self, _topic: &str, payload: &[u8], _reliable: bool) -> Template {
        let mut bytes = (payload.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(payload);
        Template { bytes, payload_at: 4, cost: 0 }
    }

    fn ping(self, _out: &mut Vec<u8>) -> bool {
        false
    }

    fn pong(self, _token: [u8; 8], _out: &mut Vec<u8>) {}

    fn ack(self, _count: u64, _out: &mut Vec<u8>) {}

    #[inline]
    fn parse(self, data: &[u8], mut on: impl FnMut(Event<'_>)) -> Result<usize, String> {
        let mut rest = data;
        while let Some((head, tail)) = rest.split_first_chunk::<4>() {
            let n = u32::from_be_bytes(*head) as usize;
            if n > FRAME_MAX {
                return Err(format!("a frame of {n} octets was announced"));
            }
            let Some((payload, after)) = tail.split_at_checked(n) else { break };
            on(Event::Message { payload, reliable: false });
            rest = after;
        }
        Ok(data.len() - rest.len())
    }

    fn slow_opening(self) -> Vec<u8> {
        1000u32.to_be_bytes().to_vec()
    }

    fn attack(self, kind: FloodKind) -> Attack {
        let repeat = match kind {
            FloodKind::Garbage => return garbage(),
            FloodKind::Ping => self.template("", b"ping", false).bytes,
            FloodKind::Half => self.template("", &[b'h'; 512], false).bytes[..258].to_vec(),
            FloodKind::Length => {
                let mut frame = u32::MAX.to_be_bytes().to_vec();
                frame.resize(4096, b'x');
                frame
            }
        };
        Attack { opening: Vec::new(), repeat }
    }
}
