//! Items, whole and hostile.

use proptest::prelude::{any, prop, proptest};

use super::{
    Counted, Fault, Head, Kind, LEVELS_MAX, Reader, Width, write_bytes, write_double, write_float,
    write_integer, write_string,
};

#[test]
fn integers_shrink_to_what_they_need() {
    for (number, bytes) in [
        (0, &[0x0c][..]),
        (127, &[0x00, 0x7f]),
        (-128, &[0x00, 0x80]),
        (128, &[0x01, 0x00, 0x80]),
        (-129, &[0x01, 0xff, 0x7f]),
        (32768, &[0x02, 0x00, 0x00, 0x80, 0x00]),
        (i64::from(i32::MIN), &[0x02, 0x80, 0, 0, 0]),
        (5_000_000_000, &[0x03, 0, 0, 0, 0x01, 0x2a, 0x05, 0xf2, 0]),
        (i64::MIN, &[0x03, 0x80, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        let mut out = Vec::new();
        write_integer(&mut out, 0, number);
        assert_eq!(out, bytes, "{number}");
        let mut reader = Reader::new(&out);
        let head = reader.head().unwrap();
        assert_eq!(reader.integer(head.kind, Width::Eight), Ok(number));
        assert!(reader.rest().is_empty());
    }
}

proptest! {
    #[test]
    fn any_item_comes_back(
        tag in any::<u8>(),
        integer in any::<i64>(),
        float in any::<f32>(),
        double in any::<f64>(),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let mut out = Vec::new();
        write_integer(&mut out, tag, integer);
        write_float(&mut out, tag, float);
        write_double(&mut out, tag, double);
        write_string(&mut out, tag, &bytes);
        write_bytes(&mut out, tag, &bytes);
        let mut reader = Reader::new(&out);
        let mut next = |reader: &mut Reader<'_>| {
            let head = reader.head().unwrap();
            assert_eq!(head.tag, tag);
            head.kind
        };
        let kind = next(&mut reader);
        assert_eq!(reader.integer(kind, Width::Eight), Ok(integer));
        let kind = next(&mut reader);
        assert_eq!(reader.float(kind).unwrap().to_bits(), float.to_bits());
        let kind = next(&mut reader);
        assert_eq!(reader.double(kind).unwrap().to_bits(), double.to_bits());
        let kind = next(&mut reader);
        assert_eq!(reader.string(kind), Ok(&bytes[..]));
        let kind = next(&mut reader);
        assert_eq!(reader.bytes(kind), Ok(&bytes[..]));
        assert!(reader.rest().is_empty());
    }

    #[test]
    fn any_bytes_are_skipped_or_refused(data in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut reader = Reader::new(&data);
        while let Ok(head) = reader.head() {
            let before = reader.rest().len();
            if reader.skip(head.kind).is_err() {
                break;
            }
            assert!(reader.rest().len() <= before);
        }
    }
}

#[test]
fn a_wider_integer_than_declared_is_refused() {
    let mut reader = Reader::new(&[0x02, 0, 0, 0, 1]);
    let head = reader.head().unwrap();
    let error = reader.integer(head.kind, Width::Two).unwrap_err();
    assert_eq!(error.to_string(), "expected an integer of 16 bits, got an item of type int4");
}

#[test]
fn tags_from_15_on_have_their_own_byte_and_small_ones_may() {
    for (bytes, tag) in [(&[0xf0, 0x0f][..], 15), (&[0xf0, 0xc8], 200), (&[0xf0, 3], 3)] {
        assert_eq!(Reader::new(bytes).head(), Ok(Head { tag, kind: Kind::Int1 }));
    }
    assert_eq!(Reader::new(&[0xf0]).head(), Err(Fault::Short));
}

#[test]
fn what_is_not_known_is_skipped_by_its_type() {
    // Every kind with tag 0, then the wanted item with tag 1.
    let mut data = vec![0x0c, 0x00, 1, 0x01, 0, 1, 0x02, 0, 0, 0, 1];
    data.extend_from_slice(&[0x03, 0, 0, 0, 0, 0, 0, 0, 1, 0x04, 0, 0, 0, 0]);
    data.extend_from_slice(&[0x05, 0, 0, 0, 0, 0, 0, 0, 0, 0x06, 1, b'a']);
    data.extend_from_slice(&[0x07, 0, 0, 0, 1, b'a', 0x08, 0x00, 1, 0x0c, 0x1c]);
    data.extend_from_slice(&[0x09, 0x00, 2, 0x0c, 0x0c, 0x0a, 0x0c, 0x0b]);
    data.extend_from_slice(&[0x0d, 0x00, 0x00, 2, 9, 9, 0x10, 7]);
    let mut reader = Reader::new(&data);
    let kind = reader.need(1).unwrap();
    assert_eq!(reader.integer(kind, Width::One), Ok(7));
    assert!(reader.rest().is_empty());
}

#[test]
fn a_larger_tag_or_the_end_of_a_struct_means_absent() {
    for data in [&[0x20, 1][..], &[0x0b], &[]] {
        assert_eq!(Reader::new(data).find(1), Ok(None));
    }
}

#[test]
fn counts_are_never_trusted() {
    for (data, fault) in [
        (&[0x09, 0x00, 0xff][..], Fault::Count(-1)),
        (&[0x09, 0x02, 0x7f, 0xff, 0xff, 0xff], Fault::Count(i64::from(i32::MAX))),
        (&[0x08, 0x00, 2, 0x0c, 0x1c, 0x0c], Fault::Count(2)),
        (&[0x0d, 0x00, 0x00, 3, 1, 2], Fault::Count(3)),
        (&[0x07, 0xff, 0xff, 0xff, 0xff, 1], Fault::Count(0xffff_ffff)),
        (&[0x06, 4, 1], Fault::Count(4)),
        (&[0x0d, 0x06, 0x0c], Fault::Kind { found: Kind::String1, wanted: "bytes as elements" }),
        (&[0x0a, 0x0c], Fault::Short),
        (&[0x0e], Fault::Type(14)),
        (&[0x0f], Fault::Type(15)),
    ] {
        let mut reader = Reader::new(data);
        let error = reader.head().and_then(|head| reader.skip(head.kind)).unwrap_err();
        assert_eq!(error, fault, "{data:x?}");
    }
}

#[test]
fn depth_is_bounded() {
    for (open, close) in [(&[0x0a][..], &[0x0b][..]), (&[0x09, 0x00, 1], &[])] {
        for (levels, good) in [(LEVELS_MAX, true), (LEVELS_MAX + 1, false)] {
            let inner: &[u8] = if close.is_empty() { &[0x0c] } else { &[] };
            let data = [open.repeat(levels), inner.to_vec(), close.repeat(levels)].concat();
            let mut reader = Reader::new(&data);
            let done = reader.head().and_then(|head| reader.skip(head.kind));
            assert_eq!(done.is_ok(), good, "{levels}");
        }
    }
}

#[test]
fn a_count_gets_the_room_it_needs() {
    for count in [0_usize, 1, 127, 128, 255, 256, 32767, 32768, 70_000] {
        let (mut out, mut expected) = (Vec::new(), vec![0x29]);
        let list = Counted::begin(&mut out, 2, Kind::List);
        out.resize(out.len() + count, 0x0c);
        list.end(&mut out, count);
        write_integer(&mut expected, 0, count as i64);
        expected.resize(expected.len() + count, 0x0c);
        assert_eq!(out, expected, "{count}");
    }
}
