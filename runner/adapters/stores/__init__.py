"""Journals, one file or family of files per product; `entry` holds the rules that they share."""
