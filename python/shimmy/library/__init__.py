"""Models that shimmy downloaded or created itself: where they come from, their files, and a record of each."""
