//! Where evaluation puts the variable-length values it makes.

/// Owns strings and bytes made while one row is evaluated.
#[derive(Default)]
pub struct Arena(bumpalo::Bump);

impl Arena {
    pub fn new() -> Arena {
        Arena::default()
    }

    pub fn text(&self, text: &str) -> &str {
        self.0.alloc_str(text)
    }

    pub fn bytes(&self, bytes: &[u8]) -> &[u8] {
        self.0.alloc_slice_copy(bytes)
    }

    /// Forgets all values, keeping the memory.
    pub fn clear(&mut self) {
        self.0.reset();
    }
}
