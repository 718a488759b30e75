"""What a file takes and gives: names, shapes, dtypes, and the model behind them."""
