"""The one place where a pickle is read: in a child process under limits, which hands back plain values and bytes."""
