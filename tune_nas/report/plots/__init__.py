"""The plots of a report page, each drawn from a comparison in a separate module."""
