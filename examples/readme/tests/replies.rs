//! Keeps the table of replies in `docs/policies.md` true: the codecs write what it says.

use aeraki_codec::{
    Answer, Decoded, Demand, Framer, Limits, LocalReply, Output, Protocol, Reason, Role, dubbo::Dubbo, thrift::Thrift,
};
use bytes::{Buf, Bytes, BytesMut};

const TEXT: &str = include_str!("../../../docs/policies.md");

/// A call of `b` of the service `a` in Hessian2, without arguments and attachments.
const DUBBO_CALL: &[u8] = b"\xda\xbb\xc2\0\0\0\0\0\0\0\0\x07\0\0\0\x13\x052.0.2\x01a\x050.0.0\x01b\0HZ";
/// A framed call of `add` in binary encoding, with an empty struct.
const THRIFT_CALL: &[u8] = b"\0\0\0\x10\x80\x01\0\x01\0\0\0\x03add\0\0\0\x07\0";

/// Answers a call as the proxy does.
fn answer(protocol: &dyn Protocol, call: &[u8], reason: Reason) -> Bytes {
    let mut framer = Framer::new(protocol.codec(Role::Server, &Limits::default()));
    let decoded = framer.decode(&mut BytesMut::from(call), &Demand::none());
    let Ok(Decoded::Message(call)) = decoded else { panic!("{decoded:?}") };
    let mut out = Output::new();
    let answer = framer.codec().reply(&call.receipt(), &LocalReply::new(reason, "no"), &mut out);
    assert_eq!(answer, Ok(Answer::Written), "{reason}");
    out.copy_to_bytes(out.remaining())
}

/// Lists the cells of the row of a reason.
fn row(reason: Reason) -> Vec<&'static str> {
    let (_, table) = TEXT.split_once("| Reason | Dubbo: status |").expect("the table");
    let name = format!("`{reason}`");
    let rows: Vec<_> = table.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>()).collect();
    let mut rows =
        rows.into_iter().filter(|row| row.get(1).is_some_and(|names| names.split(", ").any(|one| one == name)));
    let row = rows.next().unwrap_or_else(|| panic!("no row for {reason}"));
    assert!(rows.next().is_none(), "more than one row for {reason}");
    row
}

#[test]
fn every_reason_is_told_as_the_table_says() {
    for reason in Reason::ALL {
        let row = row(*reason);
        let dubbo = answer(&Dubbo::default(), DUBBO_CALL, *reason);
        assert_eq!(row[2], dubbo[3].to_string(), "status of Dubbo for {reason}");
        let thrift = answer(&Thrift::default(), THRIFT_CALL, *reason);
        // the type is the last field, before the end of the struct
        let code = thrift[thrift.len() - 2];
        assert_eq!(row[4].split(',').next(), Some(&*code.to_string()), "type of Thrift for {reason}");
    }
}
