//! One codec in an existing service: read Dubbo messages from a byte stream, change one, answer one.
//!
//! No runtime, no socket, no configuration: bytes in, bytes out. `cargo run -p codec-only`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use aeraki_codec::{
    Decoded, Demand, Framer, Limits, LocalReply, Output, Protocol, Reason, Role, dubbo, hessian2::write,
};
use anyhow::Result;
use bytes::{Buf, BytesMut};

fn main() -> Result<()> {
    let mut received = BytesMut::from(&sample_request()[..]);
    let mut framer = Framer::new(dubbo::Dubbo::default().codec(Role::Server, &Limits::default()));
    let mut out = Output::new();

    while let Decoded::Message(mut message) = framer.decode(&mut received, &Demand::all())? {
        println!("{:?} {:?}, {} bytes", message.kind(), message.id(), message.len());
        for (key, value) in message.attrs() {
            println!("  {} = {}", key.escape_ascii(), value.escape_ascii());
        }
        // the protocol itself, for those who know it: borrowed views of the frame
        let call = dubbo::request(message.frame())?;
        println!("  {} argument(s)", call.argument_count());

        // change an attachment: spliced into the frame, arguments stay byte for byte
        message.mutation_mut().set("lane", "blue");
        framer.codec().encode(&message, &mut out)?;
        // or answer it as the proxy would, in words that Dubbo clients understand
        let reply = LocalReply::new(Reason::OverLimit, "try again later");
        framer.codec().reply(&message.receipt(), &reply, &mut out)?;
    }

    let mut sent = BytesMut::from(&out.copy_to_bytes(out.remaining())[..]);
    let mut reader = Framer::new(dubbo::Dubbo::default().codec(Role::Client, &Limits::default()));
    while let Decoded::Message(message) = reader.decode(&mut sent, &Demand::all())? {
        let lane = message.attr("lane").unwrap_or(b"none").escape_ascii();
        println!("sent {:?}, lane {lane}, status {}", message.kind(), message.status().code());
    }
    anyhow::ensure!(sent.is_empty(), "all that was sent is whole messages");
    Ok(())
}

/// A call of `demo.Greeter.hello("world")`, as a Dubbo client writes it.
fn sample_request() -> Vec<u8> {
    let mut body = Vec::new();
    for text in ["2.0.2", "demo.Greeter", "1.0.0", "hello", "Ljava/lang/String;", "world"] {
        write::string(&mut body, text);
    }
    write::map(&mut body);
    for text in ["path", "demo.Greeter", "lane", "green"] {
        write::string(&mut body, text);
    }
    write::end(&mut body);
    let length = u32::try_from(body.len()).unwrap_or_default();
    [&[0xda, 0xbb, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 7][..], &length.to_be_bytes(), &body].concat()
}
