//! What an image is and where its bytes are.
