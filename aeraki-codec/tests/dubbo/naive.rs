//! Skip, tree and a naive decoder agree on values in every form, on damaged ones, and on noise.

use proptest::prelude::*;

use crate::hessian2_target::raw;

/// One value of any kind, written in any form, with references that may or may not be good.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let small = any::<u8>().prop_map(|it| 0x80 | it & 0x07);
    let leaf = prop_oneof![
        any::<[u8; 4]>().prop_map(|it| [&b"I"[..], &it].concat()),
        any::<[u8; 8]>().prop_map(|it| [&b"L"[..], &it].concat()),
        any::<[u8; 8]>().prop_map(|it| [&b"D"[..], &it].concat()),
        any::<[u8; 4]>().prop_map(|it| [&[0x5f], &it[..]].concat()),
        any::<[u8; 2]>().prop_map(|it| [0xd4, it[0], it[1]].to_vec()),
        (0xc0..=0xffu8, any::<[u8; 2]>()).prop_map(|(lead, it)| [lead, it[0], it[1]].to_vec()),
        prop_oneof![Just(b'N'), Just(b'T'), Just(b'F'), 0x80..=0xbfu8].prop_map(|it| vec![it]),
        text(),
        text().prop_map(|it| [&b"R\x00\x01a"[..], &it].concat()),
        prop::collection::vec(any::<u8>(), 0..16).prop_map(|it| {
            let len = u8::try_from(it.len()).expect("short");
            [&[0x20 | len][..], &it].concat()
        }),
        small.clone().prop_map(|it| vec![b'Q', it + 0x10]),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let many = prop::collection::vec(inner, 0..6);
        let ty = prop_oneof![text(), small.clone().prop_map(|it| vec![it + 0x10])];
        prop_oneof![
            many.clone().prop_map(|it| [&[0x78 | count(&it)][..], &it.concat()].concat()),
            (ty.clone(), many.clone()).prop_map(|(ty, it)| [&[0x70 | count(&it)][..], &ty, &it.concat()].concat()),
            many.clone().prop_map(|it| [&b"W"[..], &it.concat(), b"Z"].concat()),
            (ty.clone(), many.clone()).prop_map(|(ty, it)| [&b"U"[..], &ty, &it.concat(), b"Z"].concat()),
            (ty.clone(), many.clone())
                .prop_map(|(ty, it)| [&b"V"[..], &ty, &[0x90 + count(&it)], &it.concat()].concat()),
            many.clone().prop_map(|it| [&b"H"[..], &it.concat(), b"Z"].concat()),
            (ty, many.clone()).prop_map(|(ty, it)| [&b"M"[..], &ty, &it.concat(), b"Z"].concat()),
            (many.clone(), 0..3u8).prop_map(|(it, class)| {
                let fields = b"\x01f".repeat(it.len());
                [&b"C\x01A"[..], &[0x90 + count(&it)], &fields, &[0x60 | class], &it.concat()].concat()
            }),
            (small.clone(), many).prop_map(|(class, it)| [&[b'O', class + 0x10][..], &it.concat()].concat()),
        ]
    })
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::string::string_regex("[a-z0-9éß你\u{1f600}]{0,20}").expect("a pattern").prop_map(|text| {
        let mut wire = Vec::new();
        aeraki_codec::hessian2::write::string(&mut wire, &text);
        wire
    })
}

fn count(values: &[Vec<u8>]) -> u8 {
    u8::try_from(values.len()).expect("few")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn skip_and_naive_decoder_agree_on_values(bytes in value()) {
        raw(&bytes);
    }

    #[test]
    fn skip_and_naive_decoder_agree_on_damaged_values(
        mut bytes in value(), at in any::<prop::sample::Index>(), octet in any::<u8>(), cut in any::<bool>()
    ) {
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = octet }
        raw(&bytes);
    }

    #[test]
    fn skip_and_naive_decoder_agree_on_noise(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        raw(&bytes);
    }
}
