"""What a portable device holds and does: its store, its enrolment, and telling whom a photo shows."""
