//! Faces for other programs, which go on as long as somebody wants them: they stand on the host, and nothing of them is there before.

mod http;
pub mod jobs;
pub mod registry;
