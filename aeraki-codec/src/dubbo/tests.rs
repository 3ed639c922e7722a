use bytes::{Buf, Bytes};

use super::{Dubbo, Header, request, response, wire::header};
use crate::{
    Affinity, Answer, Attributes, Codec, Control, DecodeError, DecodeErrorKind, Demand, Detection, EncodeError, Flow,
    Head, Kind, Limits, LocalReply, Message, Mutation, OptionError, Outcome, Output, Protocol, Reason, Refusal, Role,
    hessian2::write::{self, Sink},
};

/// A request without arguments from a client of this protocol version.
fn call(version: &str, attachments: &[(&str, &str)]) -> Bytes {
    let mut body = Vec::new();
    for field in [version, "a.Service", "1.0.0", "hi", ""] {
        write::string(&mut body, field);
    }
    write::map(&mut body);
    for (key, value) in attachments {
        write::string(&mut body, key);
        write::string(&mut body, value);
    }
    write::end(&mut body);
    frame(0xc2, 0, &body)
}

fn frame(flags: u8, status: u8, body: &[u8]) -> Bytes {
    let len = u32::try_from(body.len()).expect("short");
    [&header::encode(flags, status, 7, len), body].concat().into()
}

fn codec(role: Role) -> Box<dyn Codec> {
    Dubbo::default().codec(role, &Limits::default())
}

fn parse(codec: &mut dyn Codec, frame: &Bytes, demand: &Demand) -> Result<Message, DecodeError> {
    let mut head = Head::new();
    codec.parse(frame, demand, &mut head)?;
    Ok(Message::new(frame.clone(), head))
}

fn message(frame: &Bytes) -> Message {
    parse(&mut *codec(Role::Server), frame, &Demand::all()).expect("well-formed")
}

fn written(write: impl FnOnce(&mut Output)) -> Bytes {
    let mut out = Output::new();
    write(&mut out);
    out.copy_to_bytes(out.remaining())
}

fn text(message: &Message, key: &str) -> Option<String> {
    message.attr(key).map(|value| String::from_utf8_lossy(value).into_owned())
}

#[test]
fn identity_is_what_the_provider_reads() {
    let plain = message(&call("2.0.2", &[]));
    assert_eq!(text(&plain, "interface").as_deref(), Some("a.Service"));
    assert_eq!(text(&plain, "version").as_deref(), Some("1.0.0"));
    assert_eq!(text(&plain, "group"), None);
    let attachments = [
        ("path", "b.Other"),
        ("interface", "c.Liar"),
        ("version", "2"),
        ("group", "g"),
        ("Path", "x"),
        ("METHOD", "y"),
    ];
    let attached = message(&call("2.0.2", &attachments));
    for (key, value) in
        [("interface", "b.Other"), ("path", "b.Other"), ("version", "2"), ("group", "g"), ("method", "hi")]
    {
        assert_eq!(text(&attached, key).as_deref(), Some(value), "{key}");
        assert!(!attached.is_ambiguous(key), "{key}");
    }
}

#[test]
fn a_key_in_disguise_is_still_the_key() {
    // "path" in two chunks, and with its first letter as an overlong form: Java reads "path" both times.
    for key in [&[b'R', 0, 2, b'p', b'a', 2, b't', b'h'][..], &[4, 0xc1, 0xb0, b'a', b't', b'h'][..]] {
        let mut body = Vec::new();
        for field in ["2.0.2", "a.Service", "1.0.0", "hi", ""] {
            write::string(&mut body, field);
        }
        write::map(&mut body);
        body.put(key);
        write::string(&mut body, "b.Other");
        write::end(&mut body);
        assert_eq!(text(&message(&frame(0xc2, 0, &body)), "interface").as_deref(), Some("b.Other"));
    }
}

/// What follows the method: Java would find another service there than one who counts arguments differently.
#[test]
fn bodies_that_java_divides_otherwise_are_refused() {
    let secret: &[u8] = b"H\x04path\x08b.SecretZ";
    let open: &[u8] = b"H\x04path\x06a.OpenZ";
    let text = |text: &str| {
        let mut out = Vec::new();
        write::string(&mut out, text);
        out
    };
    let two_types = [&text("L1[ILjava/util/Map;"), &b"N"[..], open, secret].concat();
    let no_descriptor = [b"N", open].concat();
    let descriptor_is_zero = [b"\x90N", open].concat();
    let descriptor_is_minus_one = [b"\x8fN", open].concat();
    let one_untyped = [b"\x91", &text("Ljava/util/Map;")[..], secret, open].concat();
    for (tail, at) in
        [(two_types, 2), (no_descriptor, 0), (descriptor_is_zero, 0), (descriptor_is_minus_one, 1), (one_untyped, 0)]
    {
        let mut body = Vec::new();
        for field in ["2.0.2", "a.Service", "1.0.0", "hi"] {
            write::string(&mut body, field);
        }
        let at = Header::LEN + body.len() + at;
        body.put(&tail);
        let error = DecodeError::new(DecodeErrorKind::BadDescriptor, at);
        let frame = frame(0xc2, 0, &body);
        assert_eq!(request(&frame).map(|_| ()), Err(error), "{tail:?}");
        for demand in [Demand::all(), Demand::of(["interface"]), Demand::of(["group"])] {
            let parsed = parse(&mut *codec(Role::Server), &frame, &demand);
            assert_eq!(parsed.map(|_| ()), Err(error), "{tail:?}");
        }
    }
}

/// A call with one argument, both it and the method as they stand on the wire.
fn call_with(method: &[u8], argument: &[u8]) -> Bytes {
    let mut body = Vec::new();
    for field in ["2.0.2", "a.Service", "1.0.0"] {
        write::string(&mut body, field);
    }
    body.put(method);
    write::string(&mut body, "Ljava/lang/String;");
    body.put(argument);
    write::map(&mut body);
    write::end(&mut body);
    frame(0xc2, 0, &body)
}

#[test]
fn the_method_inside_a_generic_call_is_what_the_provider_calls() {
    let short = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    // "$invoke" whole, in two chunks, and with its `$` as an overlong form.
    let invoke = [short("$invoke"), b"R\0\x02$i\x05nvoke".to_vec(), b"\x07\xc0\xa4invoke".to_vec()];
    for method in invoke.into_iter().chain([short("$invokeAsync")]) {
        for argument in [short("drop"), short(" drop\t\0"), b"R\0\x02dr\x02op".to_vec(), b"\x04\xc1\xa4rop".to_vec()] {
            let frame = call_with(&method, &argument);
            for demand in [Demand::all(), Demand::of(["generic.method"])] {
                let message = parse(&mut *codec(Role::Server), &frame, &demand).expect("well-formed");
                assert_eq!(text(&message, "generic.method").as_deref(), Some("drop"), "{method:?} {argument:?}");
            }
        }
        // The provider reads the number as text, and null as nothing.
        for argument in [b"\x91", b"N"] {
            assert!(message(&call_with(&method, argument)).is_ambiguous("generic.method"), "{method:?} {argument:?}");
        }
    }
    let plain = message(&call_with(&short("$invoker"), &short("drop")));
    assert!(text(&plain, "generic.method").is_none() && !plain.is_ambiguous("generic.method"));
}

#[test]
fn contradictions_are_ambiguous_or_refused() {
    let twice = message(&call("2.0.2", &[("path", "b.One"), ("path", "b.Two"), ("lane", "x"), ("Lane", "y")]));
    assert!(twice.is_ambiguous("interface") && twice.is_ambiguous("lane"));
    assert_eq!(text(&twice, "interface").as_deref(), Some("b.Two"));
    let mut strict = Dubbo::default().with_rejected_mismatch(true).codec(Role::Server, &Limits::default());
    let error = parse(&mut *strict, &call("2.0.2", &[("path", "b.Other")]), &Demand::all()).expect_err("differs");
    assert_eq!((error.kind(), error.is_fatal()), (DecodeErrorKind::IdentityMismatch, false));
    assert!(parse(&mut *strict, &call("2.0.2", &[("path", "a.Service")]), &Demand::all()).is_ok());
}

/// A provider of group `g` and version 2 looks all of these up as `g/a.Service:2`.
#[test]
fn a_service_whose_parts_run_into_each_other_is_ambiguous() {
    let split: [&[(&str, &str)]; 4] = [
        &[("path", "g/a.Service:2"), ("version", "")],
        &[("path", "g/a.Service"), ("version", "2")],
        &[("path", "a.Service:2"), ("version", "0.0.0"), ("group", "g")],
        &[("path", "Service:2"), ("group", "g/a")],
    ];
    for attachments in split {
        for demand in [Demand::all(), Demand::of(["interface", "path", "version", "group"])] {
            let message = parse(&mut *codec(Role::Server), &call("2.0.2", attachments), &demand).expect("well-formed");
            for key in ["interface", "path", "version", "group"] {
                assert!(message.is_ambiguous(key), "{key} of {attachments:?}");
            }
        }
    }
    let whole = message(&call("2.0.2", &[("path", "a.Service"), ("version", "2"), ("group", "g")]));
    assert!(["interface", "path", "version", "group"].iter().all(|key| !whole.is_ambiguous(key)));
}

#[test]
fn a_value_that_is_no_text_is_ambiguous_and_not_absent() {
    let mut body = Vec::new();
    for field in ["2.0.2", "a.Service", "1.0.0", "hi", ""] {
        write::string(&mut body, field);
    }
    write::map(&mut body);
    for (key, value) in [("debug", b"T"), ("lane", b"N")] {
        write::string(&mut body, key);
        body.put(value);
    }
    write::end(&mut body);
    let message = message(&frame(0xc2, 0, &body));
    assert!(message.is_ambiguous("debug") && !message.is_ambiguous("lane") && text(&message, "lane").is_none());
}

/// A map of Spring takes `PATH` for `path` and keeps the last of them, a weak one forgets; objects may be equal to
/// text.
#[test]
fn attachments_in_a_map_of_its_own_mind_are_ambiguous() {
    let is_ambiguous = |attachments: &[u8]| {
        let mut body = Vec::new();
        for field in ["2.0.2", "a.Service", "1.0.0", "hi", ""] {
            write::string(&mut body, field);
        }
        body.put(attachments);
        let message = message(&frame(0xc2, 0, &body));
        ["interface", "version", "lane"].map(|key| message.is_ambiguous(key))
    };
    let typed = |name: &str, pairs: &[u8]| {
        let mut map = b"M".to_vec();
        write::string(&mut map, name);
        [&map[..], pairs, b"Z"].concat()
    };
    for name in ["org.springframework.util.LinkedCaseInsensitiveMap", "java.util.WeakHashMap"] {
        assert_eq!(is_ambiguous(&typed(name, b"\x04path\x06a.Open\x04PATH\x01x")), [true; 3], "{name}");
    }
    for name in ["", "java.util.HashMap", "java.util.LinkedHashMap"] {
        assert_eq!(is_ambiguous(&typed(name, b"\x04path\x06a.Open")), [false; 3], "{name}");
    }
    assert_eq!(is_ambiguous(b"HC\x01K\x91\x01v\x60\x04path\x08b.SecretZ"), [true; 3]);
    for key in [&b"N"[..], b"T", b"\x91", b"\xe1"] {
        assert_eq!(is_ambiguous(&[b"H", key, b"\x01vZ"].concat()), [false; 3], "{key:?}");
    }
    assert_eq!(is_ambiguous(b"N"), [false; 3]);
}

#[test]
fn only_what_is_demanded_is_read() {
    let attachments = [("lane", "gray"), ("trace", "1")];
    let mut codec = codec(Role::Server);
    let some = parse(&mut *codec, &call("2.0.2", &attachments), &Demand::of(["LANE"])).expect("well-formed");
    assert_eq!(some.attrs().count(), 1);
    assert_eq!(text(&some, "lane").as_deref(), Some("gray"));
    // A broken map behind the method does not matter to those who want no more than the method.
    let mut broken = call("2.0.2", &attachments).to_vec();
    broken.truncate(broken.len() - 1);
    broken[15] -= 1;
    let broken = Bytes::from(broken);
    let method = parse(&mut *codec, &broken, &Demand::of(["method"])).expect("not looked at");
    assert_eq!(text(&method, "method").as_deref(), Some("hi"));
    assert_eq!(
        parse(&mut *codec, &broken, &Demand::of(["lane"])).expect_err("cut off").kind(),
        DecodeErrorKind::BodyTruncated
    );
}

#[test]
fn scalars_are_rendered_where_asked_for() {
    let mut body = Vec::new();
    for field in ["2.0.2", "a.Service", "1.0.0", "hi", ""] {
        write::string(&mut body, field);
    }
    write::map(&mut body);
    for key in ["weight", "timeout", "_TO"] {
        write::string(&mut body, key);
        write::int(&mut body, 1500);
    }
    // "lane" is a text, and then a list
    for field in ["lane", "x", "lane"] {
        write::string(&mut body, field);
    }
    body.put(b"\x78");
    write::end(&mut body);
    let frame = frame(0xc2, 0, &body);
    let read = ["weight", "timeout", "_to"].map(|key| text(&message(&frame), key));
    assert_eq!(read, [Some(String::new()), Some("1500".into()), Some("1500".into())], "times always are");
    let mut rendering = Dubbo::default().with_rendered_scalars(true).codec(Role::Server, &Limits::default());
    let message = parse(&mut *rendering, &frame, &Demand::all()).expect("well-formed");
    assert_eq!(text(&message, "weight").as_deref(), Some("1500"));
    assert!(message.is_ambiguous("lane") && !message.is_ambiguous("weight"), "a list cannot be shown");
}

#[test]
fn a_callback_binds_the_connection() {
    assert_eq!(message(&call("2.0.2", &[])).head().affinity(), Affinity::Any);
    assert_eq!(message(&call("2.0.2", &[("sys_callback_arg-1", "3")])).head().affinity(), Affinity::Bound);
}

#[test]
fn every_reason_has_an_answer_that_names_it() {
    let receipt = message(&call("2.0.2", &[])).receipt();
    for reason in Reason::ALL {
        let frame = written(|out| {
            let reply = LocalReply::new(*reason, "no luck: 😀");
            assert_eq!(codec(Role::Server).reply(&receipt, &reply, out), Ok(Answer::Written));
        });
        let answer = response(&frame).expect("well-formed");
        assert_eq!(answer.header().request_id(), 7);
        let text = answer.error_message().and_then(|text| text.to_str());
        assert_eq!(text.as_deref(), Some(&*format!("{reason}: no luck: 😀")));
        assert_eq!(answer.unread(), 0);
        let read = message(&frame);
        assert_eq!((read.kind(), read.status().outcome()), (Kind::Error, Outcome::Error), "{reason}");
    }
}

#[test]
fn a_status_that_is_said_to_be_written_is() {
    let receipt = message(&call("2.0.2", &[])).receipt();
    for status in 0..1000 {
        let reply = LocalReply::new(Reason::Fault, "no luck").with_status(status);
        let frame = written(|out| assert_eq!(codec(Role::Server).reply(&receipt, &reply, out), Ok(Answer::Written)));
        let is_written = u32::from(frame[3]) == status;
        assert_eq!(Dubbo::default().writes_status(status), is_written, "{status}");
    }
    assert!(Dubbo::default().writes_status(31) && !Dubbo::default().writes_status(20));
}

#[test]
fn statuses_are_coarse_where_that_is_asked_for() {
    let receipt = message(&call("2.0.2", &[])).receipt();
    let protocol = Dubbo::default().with_option("coarse_statuses", "true").expect("an option");
    for reason in Reason::ALL {
        let reply = LocalReply::new(*reason, "no luck");
        let mut codec = protocol.codec(Role::Server, &Limits::default());
        let frame = written(|out| assert_eq!(codec.reply(&receipt, &reply, out), Ok(Answer::Written)));
        let expected = match reason {
            Reason::RouteNotFound | Reason::ClusterNotFound => 60,
            Reason::BadResponse => 50,
            _ => 80,
        };
        assert_eq!(response(&frame).expect("well-formed").header().status(), expected, "{reason}");
    }
}

#[test]
fn options_are_known_by_name_and_on_or_off() {
    let option = |name, value| Dubbo::default().with_option(name, value).map(drop);
    for name in ["render_scalars", "reject_mismatch", "four_byte_utf8", "coarse_statuses"] {
        assert_eq!([option(name, "true"), option(name, "false")], [Ok(()), Ok(())], "{name}");
        assert_eq!(option(name, "yes"), Err(OptionError::BadValue("true or false")), "{name}");
    }
    assert_eq!(option("coarse", "true"), Err(OptionError::Unknown));
}

#[test]
fn a_full_server_is_told_apart_from_a_limit_of_a_proxy() {
    let receipt = message(&call("2.0.2", &[])).receipt();
    let refusal = |answer: &Bytes| {
        Dubbo::default().refusal(&parse(&mut *codec(Role::Client), answer, &Demand::none()).expect("well-formed"))
    };
    for reason in Reason::ALL {
        let reply = LocalReply::new(*reason, "no luck: 😀");
        let answer = written(|out| assert_eq!(codec(Role::Server).reply(&receipt, &reply, out), Ok(Answer::Written)));
        let expected = match reason {
            Reason::OverLimit | Reason::Shed => Some(Refusal::OverLimit),
            Reason::Overflow => Some(Refusal::Busy),
            _ => None,
        };
        assert_eq!(refusal(&answer), expected, "{reason}");
    }
    let text = |text: &str| {
        let mut body = Vec::new();
        write::string(&mut body, text);
        body
    };
    let full = text("Server side thread pool is exhausted, detail msg: shed: over_limit: ");
    for body in [&full[..], &text("over_limit"), &text(""), b"N", b"", b"\x40"] {
        assert_eq!(refusal(&frame(0x02, 100, body)), Some(Refusal::Busy), "{body:?}");
    }
    assert_eq!(refusal(&frame(0x06, 100, &text("shed: in another serialization"))), Some(Refusal::Busy));
    assert_eq!(refusal(&frame(0x02, 80, &text("over_limit: said by somebody else"))), None);
}

#[test]
fn what_cannot_be_answered_is_not() {
    let reply = LocalReply::new(Reason::Timeout, "late");
    let fastjson = frame(0xc6, 0, b"\"2.0.2\"\n");
    let oneway = frame(0x82, 0, &call("2.0.2", &[])[Header::LEN..]);
    for (frame, answer) in [(fastjson, Answer::Close), (oneway, Answer::Written)] {
        let receipt = message(&frame).receipt();
        let nothing = written(|out| assert_eq!(codec(Role::Server).reply(&receipt, &reply, out), Ok(answer)));
        assert!(nothing.is_empty());
    }
}

#[test]
fn a_bad_request_can_be_answered() {
    let bad = frame(0xc2, 0, &[0x40]);
    let mut head = Head::new();
    let error = codec(Role::Server).parse(&bad, &Demand::all(), &mut head).expect_err("reserved byte");
    assert!(!error.is_fatal());
    let receipt = Message::new(bad, head).receipt();
    let reply = LocalReply::new(Reason::BadRequest, "what?");
    let answer = written(|out| assert_eq!(codec(Role::Server).reply(&receipt, &reply, out), Ok(Answer::Written)));
    assert_eq!(response(&answer).expect("well-formed").header().status(), super::status::BAD_REQUEST);
}

#[test]
fn what_is_written_in_another_serialization_cannot_be_judged() {
    // flag 0x06: fastjson, which the proxy passes on and does not read
    let message = message(&frame(0xc6, 0, b"\"2.0.2\"\n\"a.Service\"\n"));
    assert_eq!((message.kind(), message.attr("method")), (Kind::Request, None));
    assert!(Attributes::is_ambiguous(&message, "method") && Attributes::is_ambiguous(&message, "anything"));
}

#[test]
fn signs_of_life_are_answered_in_their_own_serialization() {
    for (frame, answer) in [
        (frame(0xe2, 0, b"N"), frame(0x22, 20, b"N")),
        (frame(0xe2, 0, b""), frame(0x22, 20, b"N")),
        (frame(0xf7, 0, b"\xaf"), frame(0x37, 20, b"\xaf")),
        (frame(0xa2, 0, b"N"), Bytes::new()),
        (frame(0x22, 20, b"N"), Bytes::new()),
    ] {
        let message = message(&frame);
        assert_eq!(message.kind(), Kind::Heartbeat);
        for role in [Role::Server, Role::Client] {
            let out = written(|out| {
                assert_eq!(codec(role).control(Control::Frame(&message), out), Ok(Flow::Handled));
            });
            assert_eq!(out, answer);
        }
    }
}

#[test]
fn a_server_that_says_goodbye_is_heard() {
    let goodbye = written(|out| assert_eq!(codec(Role::Server).control(Control::Goodbye, out), Ok(Flow::Handled)));
    let note = message(&goodbye);
    assert_eq!(note.kind(), Kind::Event);
    let mut out = Output::new();
    assert_eq!(codec(Role::Client).control(Control::Frame(&note), &mut out), Ok(Flow::Drain));
    assert_eq!(codec(Role::Server).control(Control::Frame(&note), &mut out), Ok(Flow::Ignored));
    let writable = message(&frame(0xa2, 0, b"\x01W"));
    assert_eq!(codec(Role::Client).control(Control::Frame(&writable), &mut out), Ok(Flow::Ready));
    assert_eq!(codec(Role::Client).control(Control::Goodbye, &mut out), Ok(Flow::Ignored));
    assert!(out.is_empty());
    // fastjson2, fastjson, Java
    for (serialization, body) in [(23, &b"\0\0\0\x02JR"[..]), (6, b"\"R\"\n"), (3, b"\xac\xed\0\x05w\x01\x01t\0\x01R")]
    {
        let note = message(&frame(0xa0 | serialization, 0, body));
        assert_eq!(codec(Role::Client).control(Control::Frame(&note), &mut out), Ok(Flow::Drain), "{body:?}");
    }
    for other in [&b"\x01X"[..], b"\x02RX", b"\"\"", b"\0"] {
        let note = message(&frame(0xa2, 0, other));
        assert_eq!(codec(Role::Client).control(Control::Frame(&note), &mut out), Ok(Flow::Ignored), "{other:?}");
    }
    let ping = written(|out| assert_eq!(codec(Role::Client).control(Control::Ping, out), Ok(Flow::Handled)));
    assert_eq!(ping[..], b"\xda\xbb\xe2\0\0\0\0\0\0\0\0\0\0\0\0\x01N"[..]);
}

#[test]
fn events_have_a_length_limit() {
    let mut head = Head::new();
    let error = codec(Role::Server).parse(&frame(0xe2, 0, &[b'N'; 16]), &Demand::all(), &mut head).expect_err("long");
    assert_eq!(error.kind(), DecodeErrorKind::FrameTooLarge);
}

#[test]
fn a_business_exception_is_an_error_that_was_carried_out() {
    let thrown = message(&frame(0x02, 20, &[0x90, 0x01, b'x']));
    assert_eq!((thrown.kind(), thrown.status().outcome(), thrown.status().code()), (Kind::Error, Outcome::Ok, 20));
    let result = message(&frame(0x02, 20, &[0x91, 0x01, b'x']));
    assert_eq!((result.kind(), result.status().outcome()), (Kind::Response, Outcome::Ok));
}

fn mutated(codec: &mut dyn Codec, message: &Message) -> Result<Bytes, EncodeError> {
    let mut out = Output::new();
    codec.encode(message, &mut out)?;
    Ok(out.copy_to_bytes(out.remaining()))
}

fn attachments(frame: &Bytes) -> Vec<(String, String)> {
    let owned = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    message(frame).attrs().map(|(key, value)| (owned(key), owned(value))).collect()
}

#[test]
fn keys_of_attachments_are_replaced_and_removed_whatever_their_case() {
    let frame = call("2.0.2", &[("x-request-id", "1"), ("X-Lane", "a"), ("x-lane", "b"), ("Tag", "t")]);
    for demand in [Demand::none(), Demand::all()] {
        let mut message = parse(&mut *codec(Role::Server), &frame, &demand).expect("well-formed");
        message.mutation_mut().set("X-Request-Id", "2").set("x-lane", "c").remove("tAG");
        let changed = mutated(&mut *codec(Role::Client), &message).expect("allowed");
        assert!(changed.ends_with(b"H\x0cX-Request-Id\x012\x06x-lane\x01cZ"), "{changed:?}");
    }
}

#[test]
fn answers_get_attachments_only_if_the_client_reads_them() {
    let answers = [frame(0x02, 20, &[0x91, 0x01, b'x']), frame(0x02, 20, &[0x92]), frame(0x02, 20, &[0x90, b'N'])];
    for (version, modern) in [("2.0.2", true), ("2.0.99", true), ("2.0.1", false), ("2.5.3", false), ("2.0.100", false)]
    {
        let mut codec = codec(Role::Server);
        parse(&mut *codec, &call(version, &[]), &Demand::none()).expect("well-formed");
        for answer in &answers {
            let mut message = message(answer);
            message.mutation_mut().set("k", "v");
            let result = mutated(&mut *codec, &message);
            if modern {
                let frame = result.expect("allowed");
                let read = response(&frame).expect("well-formed");
                assert!(read.response_type().expect("status OK").has_attachments());
                assert_eq!(read.unread(), 0);
                assert_eq!(attachments(&frame), [("k".to_owned(), "v".to_owned())]);
            } else {
                assert_eq!(result, Err(EncodeError::Immutable), "{version}");
            }
            message.mutation_mut().remove("k");
            assert_eq!(mutated(&mut *codec, &message).as_ref(), Ok(answer), "nothing to remove");
        }
    }
}

#[test]
fn a_client_codec_knows_which_answers_can_be_changed() {
    for (version, mutable) in [("2.0.2", true), ("2.5.3", false)] {
        let mut codec = codec(Role::Client);
        let request = message(&call(version, &[]));
        mutated(&mut *codec, &request).expect("forwarded");
        let answer = parse(&mut *codec, &frame(0x02, 20, &[0x92]), &Demand::none()).expect("well-formed");
        assert_eq!(answer.head().is_mutable(), mutable);
        let with_map = parse(&mut *codec, &frame(0x02, 20, &[0x95, b'H', b'Z']), &Demand::none()).expect("well-formed");
        assert!(with_map.head().is_mutable());
    }
}

#[test]
fn pairs_that_others_count_on_stay_or_are_refused() {
    let mut body = Vec::new();
    for field in ["2.0.2", "a.Service", "1.0.0", "hi", ""] {
        write::string(&mut body, field);
    }
    // {"list": [], "again": the list (1 is its index), "map": {}}
    body.extend_from_slice(b"H\x04list\x78\x05again\x51\x91\x03mapHZZ");
    let frame = frame(0xc2, 0, &body);
    let change = |mutate: fn(&mut Mutation)| {
        let mut message = message(&frame);
        mutate(message.mutation_mut());
        mutated(&mut *codec(Role::Server), &message)
    };
    assert_eq!(change(|it| _ = it.remove("list")), Err(EncodeError::Immutable));
    let replaced = change(|it| _ = it.set("list", "text")).expect("appended");
    assert!(replaced.ends_with(b"H\x04list\x78\x05again\x51\x91\x03mapHZ\x04list\x04textZ"));
    let last = change(|it| _ = it.remove("map")).expect("nothing follows");
    assert!(last.ends_with(b"H\x04list\x78\x05again\x51\x91Z"));
    let reference = change(|it| _ = it.remove("again")).expect("takes no index");
    assert!(reference.ends_with(b"H\x04list\x78\x03mapHZZ"));
    assert_eq!(request(&reference).expect("well-formed").unread(), 0);
}

#[test]
fn what_a_body_lacks_is_made_and_what_follows_stays() {
    let missing = frame(0xc2, 0, b"\x052.0.2\x01a\x00\x01m\x00");
    let null = frame(0xc2, 0, b"\x052.0.2\x01a\x00\x01m\x00Nrest");
    for (frame, end) in [(missing, &b"H\x01k\x01vZ"[..]), (null, &b"H\x01k\x01vZrest"[..])] {
        for demand in [Demand::none(), Demand::all()] {
            let mut codec = codec(Role::Server);
            let mut message = parse(&mut *codec, &frame, &demand).expect("well-formed");
            message.mutation_mut().remove("k");
            assert_eq!(mutated(&mut *codec, &message).as_ref(), Ok(&frame));
            message.mutation_mut().set("k", "v");
            let changed = mutated(&mut *codec, &message).expect("mutable");
            assert!(changed.ends_with(end));
            assert_eq!(Header::read(&changed).expect("header").body_len() as usize, changed.len() - Header::LEN);
        }
    }
}

#[test]
fn a_change_that_would_not_fit_writes_nothing() {
    let limits = Limits { frame: Some(128), ..Limits::default() };
    let mut codec = Dubbo::default().codec(Role::Server, &limits);
    let mut message = message(&call("2.0.2", &[]));
    message.mutation_mut().set("k", "v".repeat(128));
    let mut out = Output::new();
    assert_eq!(codec.encode(&message, &mut out), Err(EncodeError::TooLarge));
    message.mutation_mut().set("k", &b"\xff"[..]);
    assert_eq!(codec.encode(&message, &mut out), Err(EncodeError::Immutable));
    assert!(out.is_empty());
}

#[test]
fn a_large_body_is_shared_and_its_id_rewritten() {
    let mut body = Vec::new();
    for field in ["2.0.2", "a.Service", "1.0.0", "hi", "Ljava/lang/String;"] {
        write::string(&mut body, field);
    }
    write::string(&mut body, &"x".repeat(20_000));
    body.extend_from_slice(b"HZ");
    let frame = frame(0xc2, 0, &body);
    let mut message = message(&frame);
    message.set_id(99);
    let same = mutated(&mut *codec(Role::Client), &message).expect("forwarded");
    assert_eq!(Header::read(&same).expect("header").request_id(), 99);
    assert_eq!(same[Header::LEN..], frame[Header::LEN..]);
    message.mutation_mut().set("k", "v");
    let mut out = Output::new();
    codec(Role::Client).encode(&message, &mut out).expect("mutable");
    let mut slices = [std::io::IoSlice::new(&[]); 4];
    assert_eq!(out.chunks_vectored(&mut slices), 3, "header, shared body, new map");
    assert_eq!(slices[1].as_ptr(), frame[Header::LEN..].as_ptr());
}

#[test]
fn a_client_is_told_by_its_first_two_bytes() {
    let told = [&b""[..], b"\xda", b"\xda\xbb", b"\xda\xbb\xc2", b"\xda\xbc", b"\x00"]
        .map(|bytes| Dubbo::default().detect(bytes));
    let [yes, no, more] = [Detection::Yes, Detection::No, Detection::More].map(Some);
    assert_eq!(told, [more, more, yes, yes, no, no]);
}
