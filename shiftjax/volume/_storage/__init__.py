"""What is kept: named objects, made durable, claimed by one writer, and the journal of what is finished."""
