// Package views is what a person sees: templ components, the plain structs they
// show, and the static files beside them.
//
// It imports nothing of ours. A handler decides what is true and in which words
// (the pure functions here help with times, sizes and states), fills a struct,
// and renders one page; the live stream renders fragments of that page again
// with the very same component, so a page and its updates cannot drift apart.
//
// Everything works without script: links, forms and redirects. No component
// writes a style attribute, a script or an event attribute, so the pages run
// under
//
//	default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';
//	connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'
package views

//go:generate go tool templ fmt .
//go:generate go tool templ generate
