"""The report of a sweep as one self-contained HTML file."""
