"""Pages on 127.0.0.1: the annotation of view codes (`ganverse annotate`) and the studio (`ganverse studio`)."""
