mod http;
mod icy;
mod stream;
mod verify;
fn main() {}
