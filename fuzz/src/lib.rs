//! What the targets share. What they do is in `hoist::images::fuzzing`, where the unit tests do the same for a few seconds.

pub use libfuzzer_sys::fuzz_target;

use std::path::Path;

use hoist::images::fuzzing::{self, Target};

/// Makes a fuzzer of the target with this name.
#[macro_export]
macro_rules! fuzz {
    ($name:literal) => {
        static TARGET: std::sync::LazyLock<$crate::Found> = std::sync::LazyLock::new(|| $crate::find($name));
        $crate::fuzz_target!(init: { $crate::write_seeds(&TARGET) }, |bytes: &[u8]| {
            (TARGET.run)(bytes);
        });
    };
}

/// A target.
pub type Found = Target;

/// The target with this name.
pub fn find(name: &str) -> Found {
    fuzzing::named(name)
}

/// Writes the target's seeds into its corpus, which is made before the corpus is read.
pub fn write_seeds(target: &Found) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    std::fs::create_dir_all(&dir).unwrap();
    for (number, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(dir.join(format!("seed-{number}")), seed).unwrap();
    }
}
