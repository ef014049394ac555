package views

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/restic-manager/restic-manager/words"
)

// pagingOf is a page (from 1) of a list of so many things.
func pagingOf(total, page int, one, many, order string, url func(page int) string) Paging {
	pages := max((total+PageSize-1)/PageSize, 1)
	page = min(max(page, 1), pages)
	from := (page - 1) * PageSize
	p := Paging{From: from, To: min(from+PageSize, total)}
	if total <= PageSize {
		p.Text = words.Count(uint64(max(total, 0)), one, many) + ", " + order
	} else {
		p.Text = fmt.Sprintf("%d to %d of %s, %s", p.From+1, p.To, words.Count(uint64(total), one, many), order)
	}
	if page > 1 {
		p.Prev = url(page - 1)
	}
	if page < pages {
		p.Next = url(page + 1)
	}
	return p
}

// listQuery adds to a query what a list is searched for, and its page.
func listQuery(q url.Values, query string, page int) string {
	if query != "" {
		q.Set("q", query)
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	return q.Encode()
}

// listURL is a page of a list.
func listURL(path, query string, page int) string {
	if q := listQuery(url.Values{}, query, page); q != "" {
		return path + "?" + q
	}
	return path
}

// KitPaging is a page of the emergency kits on the settings page.
func KitPaging(total, page int) Paging {
	return pagingOf(total, page, "kit", "kits", "by name", func(page int) string { return listURL("/settings", "", page) + "#kits" })
}
