#![no_main]

hoist_fuzz::fuzz!("layer");
