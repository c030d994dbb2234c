"""What producers may send: the ten columns, the reasons, strict decoding."""
