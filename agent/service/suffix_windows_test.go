package service

const suffix = ".exe"
