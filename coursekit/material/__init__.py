"""What chapters work with: texts, data sets and models that come with the course or in packages."""
