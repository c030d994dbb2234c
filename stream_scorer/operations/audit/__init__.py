"""The audit report and the trace of one id."""
