"""What documents were: their versions, the way back, and copies that branch off."""
