//! The kernel seam and the only unsafe code.
