//! Script functions: unpack, call the host, convert.
