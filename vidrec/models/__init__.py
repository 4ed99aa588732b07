"""Networks and text encoders: built, trained and served here."""
