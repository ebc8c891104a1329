"""What runs beside the file system under test: the interpreter of Programs, and the guest's early user space."""
