"""Room 5b: an asset as pictures. Camera paths, frames on disk, sheets of pictures for reports."""
