"""The work for miners under load: how much it takes, killed a hundred times, attacked."""
