//! Every function, and with it every plan, survives the way from one process to another.

use expr::{Mfp, Scalar};
use protocol::{ComputeCommand, Lookup, Peek, PeekTarget, RowOrder, Sequenced};
use repr::{CollectionId, Datum, Kind, Row, ScalarType, Timestamp};

fn round_trip(message: &Sequenced<ComputeCommand>) {
    let bytes = postcard::to_stdvec(message).expect("serializes");
    let read: Sequenced<ComputeCommand> = postcard::from_bytes(&bytes).expect("deserializes");
    assert_eq!(*message, read);
}

#[test]
fn a_peek_with_a_predicate_survives() {
    let literal = Scalar::literal(Datum::Text("x"), ScalarType::Text);
    let predicate = Scalar::compare("=", Scalar::Column(0), literal, ScalarType::Text);
    let mfp = Mfp::identity(vec![Kind::Text, Kind::Int]).filter([predicate]);
    let target = PeekTarget::Index {
        index: CollectionId::User(1),
        lookup: Some(Lookup::keys([Row::pack([Datum::Text("x")])])),
        front: 0,
    };
    let peek = Peek {
        id: uuid::Uuid::nil(),
        target,
        at: Timestamp::new(1),
        mfp,
        order: RowOrder::default(),
        result_bytes_max: 1,
        after: 0,
    };
    round_trip(&Sequenced { sequence: 1, command: ComputeCommand::Peek(Box::new(peek)) });
}

#[test]
fn every_function_survives() {
    let comparisons = ["=", "<>", "<", "<=", ">", ">="].into_iter().filter_map(expr::func::comparison);
    for func in expr::func::all().chain(comparisons) {
        let bytes = postcard::to_stdvec(&func).expect("serializes");
        let read: expr::Func = postcard::from_bytes(&bytes).unwrap_or_else(|error| panic!("{func:?}: {error}"));
        assert_eq!(func, read);
    }
}
