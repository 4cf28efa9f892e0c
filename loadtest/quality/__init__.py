"""How good detection is: streamdrift beside river, each line of what it should reach measured."""
