//! What stands in for a value wherever SQL compares: intervals of different fields may be equal, and texts of `bpchar` with
//! different blanks at their ends, so their key does. Where SQL orders, another key stands in for jsonb, whose order is not
//! quite that of its bytes.

use expr::Scalar;
use expr::func;
use repr::ScalarType;

use crate::hir::HirScalar;

/// `scalar`, of type `typ`, or its key if equal values of the type may differ in bytes.
pub(crate) fn of_scalar(scalar: Scalar, typ: &ScalarType) -> Scalar {
    if typ.equals_by_key() {
        Scalar::call(func::equality_key(), vec![scalar], vec![typ.clone()], typ.clone())
    } else {
        scalar
    }
}

/// As [`of_scalar`], of an expression of the planner.
pub(crate) fn of(scalar: HirScalar, typ: &ScalarType) -> HirScalar {
    HirScalar::from_scalar(of_scalar(Scalar::Column(0), typ), &[scalar])
}

/// What a value of type `typ` is ordered by, and its type, if that is not the value itself.
pub(crate) fn order(scalar: &HirScalar, typ: &ScalarType) -> Option<(HirScalar, ScalarType)> {
    match (typ.equals_by_key(), typ.contains_jsonb()) {
        (false, false) => None,
        (true, false) => Some((of(scalar.clone(), typ), typ.clone())),
        (_, true) => {
            let (args, key) = (vec![of(scalar.clone(), typ)], typ.order_key_type());
            Some((HirScalar::call(func::order_key(), args, vec![typ.clone()], key.clone()), key))
        }
    }
}
