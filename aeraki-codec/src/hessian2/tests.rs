use super::{Reader, TypeTable, write};
use crate::{DecodeError, DecodeErrorKind, Limits};

fn text(bytes: &[u8]) -> Result<String, DecodeError> {
    let text = Reader::new(bytes, &Limits::default()).text()?;
    Ok(text.and_then(|text| text.to_str()).map(Into::into).unwrap_or_default())
}

#[test]
fn strings_survive_a_round_trip_at_every_length_boundary() {
    for units in [0, 1, 31, 32, 1023, 1024, 32_768, 32_769, 65_535, 65_536, 98_305] {
        for unit in ["a", "é", "你"] {
            let original = unit.repeat(units);
            let mut wire = Vec::new();
            write::string(&mut wire, &original);
            assert_eq!(text(&wire), Ok(original), "{units} times {unit}");
        }
    }
}

#[test]
fn a_pair_of_surrogates_is_never_divided() {
    let original = format!("{}😀", "a".repeat(32_767));
    let mut wire = Vec::new();
    write::string(&mut wire, &original);
    assert_eq!(wire.get(..3), Some(&[b'R', 0x7f, 0xff][..]));
    assert_eq!(text(&wire), Ok(original));
}

#[test]
fn characters_above_the_basic_plane_are_written_as_java_does() {
    let mut wire = Vec::new();
    write::string(&mut wire, "a😀b");
    assert_eq!(wire, [0x04, 0x61, 0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80, 0x62]);
}

#[test]
fn integers_take_their_smallest_form() {
    for (value, len) in [(-16, 1), (47, 1), (-17, 2), (48, 2), (-2049, 3), (262_143, 3), (262_144, 5), (i32::MIN, 5)] {
        let mut wire = Vec::new();
        write::int(&mut wire, value);
        assert_eq!(wire.len(), len, "{value}");
        assert_eq!(Reader::new(&wire, &Limits::default()).int(), Ok(value));
    }
}

#[test]
fn four_octets_are_two_units_where_they_are_accepted() {
    let wire = [0x04, 0x61, 0xf0, 0x9f, 0x98, 0x80, 0x62];
    assert_eq!(text(&wire).map_err(DecodeError::kind), Err(DecodeErrorKind::BadUtf8));
    let mut reader = Reader::new(&wire, &Limits::default()).accept_four_byte_utf8(true);
    let read = reader.text().expect("well-formed").expect("well-formed");
    assert_eq!(read.to_str().expect("well-formed"), "a😀b");
    assert_eq!(read.utf16_len(), 4);
}

#[test]
fn chunks_join_and_a_pair_may_lie_across_them() {
    let wire = [b'R', 0, 2, 0x61, 0xed, 0xa0, 0xbd, 0x02, 0xed, 0xb8, 0x80, 0x62];
    let read = Reader::new(&wire, &Limits::default()).text().expect("well-formed").expect("well-formed");
    assert_eq!(read.as_utf8(), None);
    assert_eq!(read.chunks().count(), 2);
    assert_eq!(read.to_str().expect("well-formed"), "a😀b");
    assert_eq!(read.encoded(), wire);
}

#[test]
fn only_valid_utf8_in_one_piece_is_lent() {
    let lent = |wire: &[u8]| {
        let text = Reader::new(wire, &Limits::default()).text().expect("well-formed").expect("well-formed");
        text.as_utf8().map(<[u8]>::to_vec)
    };
    assert_eq!(lent(&[0x01, 0xc3, 0xa9]), Some(vec![0xc3, 0xa9]));
    assert_eq!(lent(&[0x01, 0xc0, 0x80]), None, "overlong NUL");
    assert_eq!(lent(&[0x01, 0xed, 0xa0, 0xbd]), None, "lone surrogate");
    assert_eq!(lent(&[b'R', 0, 1, 0x61, 0x00]), None, "chunked");
}

#[test]
fn entries_tell_which_pairs_can_be_left_out() {
    // {"a": 1, "b": [], 2: null}
    let wire = [b'H', 0x01, b'a', 0x91, 0x01, b'b', 0x78, 0x92, b'N', b'Z'];
    let mut reader = Reader::new(&wire, &Limits::default());
    assert_eq!(reader.map(), Ok(true));
    let mut seen = Vec::new();
    while let Some(entry) = reader.entry().expect("well-formed") {
        seen.push((entry.range, entry.value_range, entry.removable));
    }
    assert_eq!(seen, [(1..4, 3..4, true), (4..7, 6..7, false), (7..9, 8..9, true)]);
    assert!(reader.rest().is_empty());
}

#[test]
fn every_limit_is_enforced() {
    let kind = |wire: &[u8], limits: &Limits| Reader::new(wire, limits).skip().map_err(DecodeError::kind);
    let limits = Limits::default();
    let nested = [0x79, 0x79, 0x90];
    assert_eq!(kind(&nested, &Limits { depth: 1, ..limits }), Err(DecodeErrorKind::DepthExceeded));
    assert_eq!(kind(&nested, &Limits { depth: 2, ..limits }), Ok(()));
    let object = [b'C', 0x01, b'A', 0x91, 0x01, b'f', 0x60, 0x90];
    let none = Limits { definitions: 0, ..limits };
    assert_eq!(kind(&object, &none), Err(DecodeErrorKind::TooManyDefinitions));
    assert_eq!(kind(&object, &limits), Ok(()));
    let tree = Reader::new(&nested, &none).value(&mut TypeTable::default());
    assert_eq!(tree.map_err(DecodeError::kind).err(), Some(DecodeErrorKind::TooManyDefinitions));
}
