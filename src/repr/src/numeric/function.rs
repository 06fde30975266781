//! Roots, exponentials, logarithms, powers; by decNumber at 81 digits, then rounded to 39.

use dec::Context;

use super::{Numeric, NumericError, Wide, wide_context};

impl Numeric {
    /// Errors: a negative number.
    pub fn sqrt(&self) -> Result<Numeric, NumericError> {
        if self.is_negative() {
            return Err(NumericError::RootOfNegative);
        }
        self.apply(|context, number| context.sqrt(number))
    }

    /// e to this power. Errors: overflow.
    pub fn exp(&self) -> Result<Numeric, NumericError> {
        if self.is_infinite() {
            return Ok(if self.is_negative() { Numeric::ZERO } else { Numeric::INFINITY });
        }
        // e^90 > 10^39; decNumber would compute hopeless cases digit by digit.
        match self.abs() > Numeric::from_i64(91) {
            true if self.is_nan() => Ok(Numeric::NAN),
            true if self.is_negative() => Ok(Numeric::ZERO),
            true => Err(NumericError::Overflow),
            false => self.apply(|context, number| context.exp(number)),
        }
    }

    /// The natural logarithm. Errors: zero or a negative number.
    pub fn ln(&self) -> Result<Numeric, NumericError> {
        self.require_positive()?;
        self.apply(|context, number| context.ln(number))
    }

    /// The logarithm to base 10. Errors: zero or a negative number.
    pub fn log10(&self) -> Result<Numeric, NumericError> {
        self.require_positive()?;
        self.apply(|context, number| context.log10(number))
    }

    /// The logarithm of `self` to `base`. Errors: either is zero or negative; base one (division by zero).
    pub fn log(&self, base: &Numeric) -> Result<Numeric, NumericError> {
        if self.is_nan() || base.is_nan() {
            return Ok(Numeric::NAN);
        }
        base.require_positive()?;
        self.require_positive()?;
        match (self.is_infinite(), base.is_infinite()) {
            (true, true) => return Ok(Numeric::NAN),
            (true, false) => return Ok(Numeric::INFINITY),
            (false, true) => return Ok(Numeric::ZERO),
            (false, false) => {}
        }
        let mut context = wide_context();
        let (mut numerator, mut denominator) = (self.to_wide(), base.to_wide());
        context.ln(&mut numerator);
        context.ln(&mut denominator);
        if denominator.is_zero() {
            return Err(NumericError::DivisionByZero);
        }
        context.div(&mut numerator, &denominator);
        Numeric::from_wide(&numerator)
    }

    fn require_positive(&self) -> Result<(), NumericError> {
        match self {
            _ if self.is_zero() => Err(NumericError::LogarithmOfZero),
            _ if self.is_negative() => Err(NumericError::LogarithmOfNegative),
            _ => Ok(()),
        }
    }

    /// Errors: overflow, zero to a negative power, a negative number to a power that is not an integer.
    pub fn pow(&self, power: &Numeric) -> Result<Numeric, NumericError> {
        // As in C and PostgreSQL, these hold even for NaN.
        if *self == Numeric::ONE || power.is_zero() {
            return Ok(Numeric::ONE);
        }
        if self.is_nan() || power.is_nan() {
            return Ok(Numeric::NAN);
        }
        if self.is_zero() {
            return if power.is_negative() { Err(NumericError::ZeroToNegativePower) } else { Ok(Numeric::ZERO) };
        }
        if self.is_negative() && power.is_finite() && !power.is_integer() {
            return Err(NumericError::ComplexPower);
        }
        if self.is_infinite() || power.is_infinite() {
            return Ok(self.pow_infinite(power));
        }
        let magnitude = self.abs();
        // |log10| * power bounds the result's size before any work is done.
        let digits = magnitude.log10()?.to_f64() * power.to_f64();
        if digits > 40.0 {
            return Err(NumericError::Overflow);
        }
        if digits < -41.0 {
            return Ok(Numeric::ZERO);
        }
        let is_odd = power.is_integer() && !power.rem(&Numeric::from_i64(2))?.is_zero();
        let mut result = magnitude.to_wide();
        wide_context().pow(&mut result, &power.to_wide());
        let result = Numeric::from_wide(&result)?;
        Ok(if self.is_negative() && is_odd { result.neg() } else { result })
    }

    /// One of the two is infinite; neither is NaN, the base is neither zero nor one.
    fn pow_infinite(&self, power: &Numeric) -> Numeric {
        if self.is_finite() {
            let grows = (self.abs() > Numeric::ONE) != power.is_negative();
            return match self.abs() == Numeric::ONE {
                true => Numeric::ONE,
                false if grows => Numeric::INFINITY,
                false => Numeric::ZERO,
            };
        }
        if power.is_negative() {
            return Numeric::ZERO;
        }
        let is_odd = power.is_integer() && power.rem(&Numeric::from_i64(2)).is_ok_and(|rest| !rest.is_zero());
        if self.is_negative() && is_odd { Numeric::NEGATIVE_INFINITY } else { Numeric::INFINITY }
    }

    /// For functions that map NaN and infinity to themselves.
    fn apply(&self, function: impl FnOnce(&mut Context<Wide>, &mut Wide)) -> Result<Numeric, NumericError> {
        if !self.is_finite() {
            return Ok(*self);
        }
        let mut number = self.to_wide();
        let mut context = wide_context();
        // Fewer digits than fit: decNumber's iterations cost time, and 39 are wanted.
        context.set_precision(60).expect("60 digits fit 81");
        function(&mut context, &mut number);
        Numeric::from_wide(&number)
    }
}
