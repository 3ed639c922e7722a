//! The status byte of answers (`org.apache.dubbo.remoting.exchange.Response`).

/// The call was carried out; the body says how it ended.
pub const OK: u8 = 20;
/// The answer is longer than the server may send.
pub const SERIALIZATION_ERROR: u8 = 25;
/// The client gave up waiting.
pub const CLIENT_TIMEOUT: u8 = 30;
/// The server did not answer in time.
pub const SERVER_TIMEOUT: u8 = 31;
/// The connection is gone.
pub const CHANNEL_INACTIVE: u8 = 35;
/// The server could not read the request.
pub const BAD_REQUEST: u8 = 40;
/// The answer could not be written, or read.
pub const BAD_RESPONSE: u8 = 50;
/// There is no such service.
pub const SERVICE_NOT_FOUND: u8 = 60;
/// An error outside the business method.
pub const SERVICE_ERROR: u8 = 70;
/// An error of the server itself.
pub const SERVER_ERROR: u8 = 80;
/// An error of the client itself.
pub const CLIENT_ERROR: u8 = 90;
/// The server has no thread for the call.
pub const THREADPOOL_EXHAUSTED: u8 = 100;

pub(super) const ASSIGNED: &[u8] = &[
    OK,
    SERIALIZATION_ERROR,
    CLIENT_TIMEOUT,
    SERVER_TIMEOUT,
    CHANNEL_INACTIVE,
    BAD_REQUEST,
    BAD_RESPONSE,
    SERVICE_NOT_FOUND,
    SERVICE_ERROR,
    SERVER_ERROR,
    CLIENT_ERROR,
    THREADPOOL_EXHAUSTED,
];
