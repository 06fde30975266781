//! The codec's laws, over nasty values of every kind, and its golden bytes.

use super::nasty::{KINDS, number, values};
use crate::composite::{Dimension, pack_array, pack_list, pack_map};
use crate::interval::Interval;
use crate::jsonb::JsonbRef;
use crate::{Arena, Datum, Kind, Row, row};

#[test]
fn neighbours_never_blur_a_value() {
    let arena = Arena::new();
    for kind in KINDS {
        for value in values(kind, &arena).into_iter().chain([Datum::Null]) {
            let shapes = [
                (vec![value, Datum::Null], vec![kind, Kind::Text]),
                (vec![value, Datum::Text("")], vec![kind, Kind::Text]),
                (vec![Datum::Null, value], vec![Kind::Text, kind]),
                (vec![value, value], vec![kind, kind]),
            ];
            for (datums, kinds) in shapes {
                let packed = Row::pack(datums.iter().copied());
                assert_eq!(packed.unpack(&kinds), datums, "{kind:?} in {packed:?}");
                row::check(packed.as_bytes(), &kinds).expect("what is packed is canonical");
                let mut rest = packed.as_bytes();
                let pieces: Vec<&[u8]> = kinds.iter().map(|kind| row::skip_datum(&mut rest, *kind)).collect();
                assert!(rest.is_empty());
                assert_eq!(pieces.concat(), packed.as_bytes());
            }
        }
    }
}

#[test]
fn bytes_order_as_values_do() {
    let arena = Arena::new();
    for kind in KINDS {
        let ascending: Vec<Datum<'_>> = values(kind, &arena).into_iter().chain([Datum::Null]).collect();
        for (left_index, left) in ascending.iter().enumerate() {
            for (right_index, right) in ascending.iter().enumerate() {
                let expected = left_index.cmp(&right_index);
                assert_eq!(left.cmp(right), expected, "{kind:?}: {left:?} and {right:?}");
                for tail in [Datum::Null, Datum::Text("")] {
                    let (one, other) = (Row::pack([*left, tail]), Row::pack([*right, tail]));
                    assert_eq!(one.cmp(&other), expected, "{kind:?}: {one:?} and {other:?}");
                    let (one, other) = (Row::pack([*left, Datum::Null]), Row::pack([*right, tail]));
                    let decided = if left_index == right_index { Datum::Null.cmp(&tail) } else { expected };
                    assert_eq!(one.cmp(&other), decided, "{kind:?}: {one:?} and {other:?}");
                }
            }
        }
    }
}

#[test]
fn no_cut_or_changed_row_panics_the_check() {
    let arena = Arena::new();
    for kind in KINDS {
        for value in values(kind, &arena) {
            let packed = Row::pack([value, Datum::Null]);
            let kinds = [kind, Kind::Int];
            for end in 0..packed.len_bytes() {
                assert!(row::check(&packed.as_bytes()[..end], &kinds).is_err(), "{kind:?}: {packed:?} cut at {end}");
            }
            for at in 0..packed.len_bytes() {
                for flip in [0x01, 0x80, 0xFF] {
                    let mut bytes = packed.as_bytes().to_vec();
                    bytes[at] ^= flip;
                    if row::check(&bytes, &kinds).is_ok() {
                        let changed = Row::from_bytes(&bytes);
                        assert_eq!(Row::pack(changed.unpack(&kinds)), changed, "a second spelling was accepted");
                    }
                }
            }
        }
    }
}

#[test]
fn every_kind_refuses_what_is_none_of_its_values() {
    for kind in KINDS {
        for bytes in [&[][..], &[0x00, 0xFF], &[0x01], &[0x01, 0xFF], &[0x09, 0x09], &[0x21; 40], &[0x07, 0x20]] {
            assert!(row::check(bytes, &[kind]).is_err(), "{kind:?}: {bytes:?}");
        }
    }
    // A text that is not UTF-8, an integer with a leading zero, a second zero, a digit pair out of range.
    assert!(row::check(&[0xC3, 0x00], &[Kind::Text]).is_err());
    assert!(row::check(&[0x19, 0x00], &[Kind::Int]).is_err());
    assert!(row::check(&[0x01, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], &[Kind::Float8]).is_err());
    assert!(row::check(&[0x05, 0x81, 0x66, 0x00], &[Kind::Numeric]).is_err());
}

#[test]
fn deep_nesting_is_refused_not_followed() {
    let deep = |lead: &[u8]| lead.repeat(1_000_000);
    assert!(row::check(&deep(&[0x01, 0x88]), &[Kind::List]).is_err());
    assert!(row::check(&deep(&[0x01, 0x80]), &[Kind::Array]).is_err());
    assert!(row::check(&deep(&[0x07, 0x19, 0x01]), &[Kind::Jsonb]).is_err());
}

#[test]
#[should_panic(expected = "NUL")]
fn a_text_with_a_nul_is_never_packed() {
    Row::pack_one(Datum::Text("a\0b"));
}

fn golden(datum: Datum<'_>) -> String {
    Row::pack_one(datum).to_string()
}

#[test]
fn scalars_keep_their_golden_bytes() {
    let arena = Arena::new();
    assert_eq!(golden(Datum::Null), "ff");
    assert_eq!(golden(Datum::FALSE), "02");
    assert_eq!(golden(Datum::TRUE), "03");
    assert_eq!(golden(Datum::Int(0)), "18");
    assert_eq!(golden(Datum::Int(1)), "1901");
    assert_eq!(golden(Datum::Int(-1)), "17fe");
    assert_eq!(golden(Datum::Int(256)), "1a0100");
    assert_eq!(golden(Datum::Int(-256)), "16feff");
    assert_eq!(golden(Datum::Int(i64::MIN)), "107fffffffffffffff");
    assert_eq!(golden(Datum::UInt(u64::MAX)), "20ffffffffffffffff");
    assert_eq!(golden(Datum::float4(1.5)), "01bfc00000");
    assert_eq!(golden(Datum::float8(-1.5)), "014007ffffffffffff");
    assert_eq!(golden(Datum::float8(-0.0)), "018000000000000000");
    assert_eq!(golden(Datum::float8(f64::NAN)), "01fff8000000000000");
    assert_eq!(golden(Datum::Numeric(number("0", &arena))), "04");
    assert_eq!(golden(Datum::Numeric(number("123.45", &arena))), "058202182e00");
    assert_eq!(golden(Datum::Numeric(number("-123.45", &arena))), "037dfde7d1ff");
    assert_eq!(golden(Datum::Numeric(number("0.001", &arena))), "057f0b00");
    assert_eq!(golden(Datum::Numeric(number("-Infinity", &arena))), "02");
    assert_eq!(golden(Datum::Numeric(number("Infinity", &arena))), "06");
    assert_eq!(golden(Datum::Numeric(number("NaN", &arena))), "07");
    assert_eq!(golden(Datum::Date(1)), "0180000001");
    assert_eq!(golden(Datum::Time(1)), "018000000000000001");
    assert_eq!(golden(Datum::Timestamp(-1)), "017fffffffffffffff");
    let interval = Interval { months: 1, days: -1, micros: 2 };
    assert_eq!(golden(Datum::Interval(interval)), "8000000000000000000002476165e002800000017fffffff8000000000000002");
    assert_eq!(golden(Datum::Text("")), "00");
    assert_eq!(golden(Datum::Text("aé")), "61c3a900");
    assert_eq!(golden(Datum::bytes(&[])), "010000");
    assert_eq!(golden(Datum::bytes(&[1, 0, 255])), "010100ffff0000");
    assert_eq!(golden(Datum::Uuid(uuid::Uuid::from_u128(7))), "0100000000000000000000000000000007");
}

#[test]
fn composites_keep_their_golden_bytes() {
    let arena = Arena::new();
    let list = pack_list(&[(Datum::Int(5), Kind::Int), (Datum::Null, Kind::Text), (Datum::Text("x"), Kind::Text)]);
    assert_eq!(list.to_string(), "01181905ff60780000");
    let map = pack_map(&[("b", Datum::Null), ("a", Datum::TRUE), ("b", Datum::FALSE)], Kind::Bool);
    assert_eq!(map.to_string(), "016061001003606200100200");
    let dimensions = [Dimension { length: 2, lower: 1 }, Dimension { length: 1, lower: -1 }];
    let array = pack_array(&[Datum::Int(0), Datum::Null], Kind::Int, &dimensions);
    assert_eq!(array.to_string(), "011818ff00190219021901190117fe");
    assert_eq!(pack_array(&[], Kind::Int, &[]).to_string(), "010018");
    let json = JsonbRef::parse(r#"{"bb": [1, "x"], "a": {"k": null}, "c": true, "c": false}"#, &arena).unwrap();
    let golden_json = concat!("081903", "6100", "0819016b0002", "6300", "05", "626200", "0719020405810200", "037800");
    assert_eq!(golden(Datum::Jsonb(json)), golden_json);
}

#[test]
fn element_tags_never_change() {
    let tags: Vec<u8> = KINDS.iter().map(|kind| crate::codec::tag_of_kind(*kind)).collect();
    let golden: Vec<u8> = (0..17).map(|index| 0x10 + 8 * index).collect();
    assert_eq!(tags, golden);
    for kind in KINDS {
        assert_eq!(crate::codec::kind_of_tag(crate::codec::tag_of_kind(kind)), Some(kind));
    }
}

#[test]
fn composites_give_back_their_parts() {
    let dimensions = [Dimension { length: 2, lower: 1 }, Dimension { length: 1, lower: -1 }];
    let array = pack_array(&[Datum::Int(0), Datum::Null], Kind::Int, &dimensions);
    let array = array.unpack_first(Kind::Array).unwrap_array();
    assert_eq!(array.elements(), [Datum::Int(0), Datum::Null]);
    assert_eq!(array.dimensions(), dimensions);
    let map = pack_map(&[("b", Datum::Null), ("a", Datum::TRUE), ("b", Datum::FALSE)], Kind::Bool);
    let map = map.unpack_first(Kind::Map).unwrap_map();
    assert_eq!(map.entries(), [("a", Datum::TRUE), ("b", Datum::FALSE)]);
    assert_eq!(map.get("b"), Some(Datum::FALSE));
    assert_eq!(map.get("c"), None);
}

#[test]
fn bytes_read_from_a_row_mean_what_was_packed() {
    for bytes in [&[][..], &[1, 2], &[0], &[0, 0, 1], &[9, 0, 0xFF]] {
        let row = Row::pack_one(Datum::bytes(bytes));
        let read = row.unpack_first(Kind::Bytes).unwrap_bytes();
        assert_eq!(read.to_cow(), bytes);
        assert_eq!(read.in_arena(&Arena::new()), bytes);
        assert_eq!(read.len(), bytes.len());
        assert_eq!(Row::pack_one(Datum::Bytes(read)), row);
    }
}

#[test]
fn rows_are_bytes_to_serde() {
    let row = Row::pack([Datum::Int(7), Datum::Text("seven")]);
    let json = serde_json::to_string(&row).expect("a row serializes");
    assert_eq!(json, "[25,7,115,101,118,101,110,0]");
    assert_eq!(serde_json::from_str::<Row>(&json).expect("and back"), row);
}
