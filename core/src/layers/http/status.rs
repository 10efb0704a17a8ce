//! Status codes.

use core::fmt;

/// A status code (RFC 9110 §15): three digits.
///
/// ```
/// use bowline_core::http::StatusCode;
/// assert_eq!(StatusCode::NOT_FOUND.to_string(), "404 Not Found");
/// assert_eq!(StatusCode::new(99), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusCode(u16);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal $reason:literal;)*) => {
        impl StatusCode {
            $($(#[$doc])* pub const $name: StatusCode = StatusCode($number);)*

            /// The phrase that says for people what it means; empty where it is not known here.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($number => $reason,)*
                    _ => "",
                }
            }
        }
    };
}

codes! {
    /// Go on and send the body.
    CONTINUE = 100 "Continue";
    /// From here on another protocol is spoken.
    SWITCHING_PROTOCOLS = 101 "Switching Protocols";
    /// It is done.
    OK = 200 "OK";
    /// It was made.
    CREATED = 201 "Created";
    /// It will be done.
    ACCEPTED = 202 "Accepted";
    /// It is done, and there is nothing to say.
    NO_CONTENT = 204 "No Content";
    /// It is elsewhere, for good.
    MOVED_PERMANENTLY = 301 "Moved Permanently";
    /// Look there.
    SEE_OTHER = 303 "See Other";
    /// What the client has is still right.
    NOT_MODIFIED = 304 "Not Modified";
    /// The request makes no sense.
    BAD_REQUEST = 400 "Bad Request";
    /// Say who you are.
    UNAUTHORIZED = 401 "Unauthorized";
    /// Not for this client.
    FORBIDDEN = 403 "Forbidden";
    /// There is no such thing.
    NOT_FOUND = 404 "Not Found";
    /// There is, but not by this method.
    METHOD_NOT_ALLOWED = 405 "Method Not Allowed";
    /// The request did not come to its end in time.
    REQUEST_TIMEOUT = 408 "Request Timeout";
    /// It does not fit what is there.
    CONFLICT = 409 "Conflict";
    /// It was there.
    GONE = 410 "Gone";
    /// Say how long the body is.
    LENGTH_REQUIRED = 411 "Length Required";
    /// The body is longer than is taken.
    CONTENT_TOO_LARGE = 413 "Content Too Large";
    /// The target is longer than is taken.
    URI_TOO_LONG = 414 "URI Too Long";
    /// Bodies of this type are not taken.
    UNSUPPORTED_MEDIA_TYPE = 415 "Unsupported Media Type";
    /// What the client expects cannot be met.
    EXPECTATION_FAILED = 417 "Expectation Failed";
    /// Ask by another protocol.
    UPGRADE_REQUIRED = 426 "Upgrade Required";
    /// Too many, too fast.
    TOO_MANY_REQUESTS = 429 "Too Many Requests";
    /// The head is longer than is taken.
    REQUEST_HEADER_FIELDS_TOO_LARGE = 431 "Request Header Fields Too Large";
    /// Something is wrong here.
    INTERNAL_SERVER_ERROR = 500 "Internal Server Error";
    /// That is not done here.
    NOT_IMPLEMENTED = 501 "Not Implemented";
    /// Not now.
    SERVICE_UNAVAILABLE = 503 "Service Unavailable";
    /// Another version of HTTP.
    VERSION_NOT_SUPPORTED = 505 "HTTP Version Not Supported";
}

impl StatusCode {
    /// A code of three digits, 100 to 599.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            100..=599 => Some(Self(number)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Whether a response with it never has a body, nor says how long one is (RFC 9110 §6.4.1).
    #[must_use]
    pub const fn is_bodiless(self) -> bool {
        matches!(self.0, 100..=199 | 204 | 304)
    }

    /// Whether it says that something was wrong: 400 and above.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 >= 400
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            "" => write!(f, "{}", self.0),
            reason => write!(f, "{} {reason}", self.0),
        }
    }
}
