//! The interactive prompt: a session that is fed lines, and an editor around it.
//!
//! | File | What it is |
//! |---|---|
//! | `session` | what is done with a line; it needs no terminal |
//! | `command` | `:help` and the other words that are not of the language |
//! | `docker` | what the words of Docker's command line are here |
//! | `record` | the lines of a conversation as a script |
//! | `token`, `cursor`, `kinds` | what an unfinished line is made of, where its end is, and of what type |
//! | `manual`, `names` | what is documented, and what there is in the store, at registries and in directories |
//! | `completer`, `hinter`, `highlighter` | what may come next, what probably does, and colours |
//! | `pager` | long results, a screen at a time |
//! | `editor` | all of it around a line editor |

mod command;
mod completer;
mod cursor;
mod docker;
mod editor;
mod highlighter;
mod hinter;
mod kinds;
mod manual;
mod names;
mod pager;
mod record;
mod session;
mod token;

pub use editor::run;
