"""What a person does here, as async functions and iterators; shared by the app and the command line."""
