//! What stands in for a value wherever SQL compares: intervals of different fields may be equal, so their key does.

use expr::Scalar;
use expr::func;
use repr::ScalarType;

use crate::hir::HirScalar;

/// `scalar`, of type `typ`, or its key if the type has intervals in it.
pub(crate) fn of_scalar(scalar: Scalar, typ: &ScalarType) -> Scalar {
    if typ.contains_interval() {
        Scalar::call(func::interval_key(), vec![scalar], vec![typ.clone()], typ.clone())
    } else {
        scalar
    }
}

/// As [`of_scalar`], of an expression of the planner.
pub(crate) fn of(scalar: HirScalar, typ: &ScalarType) -> HirScalar {
    HirScalar::from_scalar(of_scalar(Scalar::Column(0), typ), &[scalar])
}
