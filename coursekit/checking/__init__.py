"""How an exercise is checked: its contract, what is called and drawn, what was observed, the verdict."""
