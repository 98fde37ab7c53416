"""Rules on a built image: its configuration, and the files of its layers as whoever opened it lists them."""
