"""Workers: one process per loaded model, its protocol, and the engines inside it."""
