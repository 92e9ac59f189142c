"""Command line: one short file per verb that parses, calls the verb and reports."""
