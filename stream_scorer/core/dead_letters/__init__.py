"""What is done with records that failed: rejection, redaction, fixes, scorecards."""
