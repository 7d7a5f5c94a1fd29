package main

func (j *job) encryptedPackage(f file, o *oleFile) error  { return j.sealed(f) }
func (j *job) encryptedDocument(f file, o *oleFile) error { return nil }
