"""Accidents that cost work elsewhere, against a real server: nothing typed is lost, nothing stands twice."""
