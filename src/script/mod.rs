//! The script engine built, limited and run.
