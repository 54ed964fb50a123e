"""The paper as a table: every experiment with several seeds, and its claim as checks on numbers.

`claims.py` says what is expected, `measure.py` what is measured beside the scores of a run, `row.py` runs one
experiment, `page.py` writes the table, and `spread.py` draws the curves of a sweep.
"""
